"""The shapes of the API's objects, as far as what emu reads needs them, and how JSON is taken into them.

A type is written in short: `s` text, `bytes` base64, `i32` and `i64` whole numbers, `b` true or false, `q` a
quantity, `port` a number or a name, `url` a text that Go takes for a URL, `any` whatever it is, a name with a capital
an object. `*` before it: absent is not zero. `[]` a list, `{}` a map by name. What follows a `:` is Go's name of the
type, where several there are of one shape here.
"""

from __future__ import annotations

_OBJECTS = """
Meta name=s generateName=s namespace=s selfLink=s uid=s resourceVersion=s generation=i64 creationTimestamp=any
 deletionTimestamp=any deletionGracePeriodSeconds=*i64 labels={}s annotations={}s ownerReferences=[]Owner
 finalizers=[]s managedFields=any
Owner apiVersion=s kind=s name=s uid=s controller=*b blockOwnerDeletion=*b
Service apiVersion=s kind=s metadata=Meta spec=ServiceSpec status=any
ServiceSpec template=Template traffic=[]Traffic
Configuration apiVersion=s kind=s metadata=Meta spec=ConfigurationSpec status=any
ConfigurationSpec template=Template
Template metadata=Meta spec=RevisionSpec
Revision apiVersion=s kind=s metadata=Meta spec=RevisionSpec status=any
RevisionSpec PodSpec containerConcurrency=*i64 timeoutSeconds=*i64 responseStartTimeoutSeconds=*i64
 idleTimeoutSeconds=*i64
Traffic tag=s revisionName=s configurationName=s latestRevision=*b percent=*i64 url=url
Pod apiVersion=s kind=s metadata=Meta spec=PodSpec status=any
PodTemplate metadata=Meta spec=PodSpec
PodSpec volumes=[]Volume initContainers=[]Container containers=[]Container ephemeralContainers=any
 restartPolicy=s:RestartPolicy terminationGracePeriodSeconds=*i64 activeDeadlineSeconds=*i64 dnsPolicy=s:DNSPolicy
 nodeSelector={}s serviceAccountName=s serviceAccount=s automountServiceAccountToken=*b nodeName=s hostNetwork=b
 hostPID=b hostIPC=b shareProcessNamespace=*b securityContext=*PodSecurity imagePullSecrets=[]Reference hostname=s
 subdomain=s affinity=any schedulerName=s tolerations=[]Toleration hostAliases=[]HostAlias priorityClassName=s
 priority=*i32 dnsConfig=any readinessGates=any runtimeClassName=*s enableServiceLinks=*b
 preemptionPolicy=*s:PreemptionPolicy overhead={}q topologySpreadConstraints=any setHostnameAsFQDN=*b os=any
 hostUsers=*b schedulingGates=any resourceClaims=any resources=*Resources hostnameOverride=*s workloadRef=any
Toleration key=s operator=s:TolerationOperator value=s effect=s:TaintEffect tolerationSeconds=*i64
HostAlias ip=s hostnames=[]s
Reference name=s
Container name=s image=s command=[]s args=[]s workingDir=s ports=[]Port envFrom=[]EnvFrom env=[]Env
 resources=Resources resizePolicy=any restartPolicy=*s:ContainerRestartPolicy restartPolicyRules=any
 volumeMounts=[]Mount volumeDevices=[]Device livenessProbe=*Probe readinessProbe=*Probe startupProbe=*Probe
 lifecycle=*Lifecycle terminationMessagePath=s terminationMessagePolicy=s:TerminationMessagePolicy
 imagePullPolicy=s:PullPolicy securityContext=*Security stdin=b stdinOnce=b tty=b
Port name=s hostPort=i32 containerPort=i32 protocol=s:Protocol hostIP=s
EnvFrom prefix=s configMapRef=*OptionalReference:ConfigMapEnvSource secretRef=*OptionalReference:SecretEnvSource
OptionalReference name=s optional=*b
Env name=s value=s valueFrom=*EnvSource
EnvSource fieldRef=*FieldRef resourceFieldRef=*ResourceFieldRef configMapKeyRef=*KeyRef:ConfigMapKeySelector
 secretKeyRef=*KeyRef:SecretKeySelector fileKeyRef=any
FieldRef apiVersion=s fieldPath=s
ResourceFieldRef containerName=s resource=s divisor=q
KeyRef name=s key=s optional=*b
Resources limits={}q requests={}q claims=[]Claim
Claim name=s request=s
Mount name=s readOnly=b recursiveReadOnly=*s:RecursiveReadOnlyMode mountPath=s subPath=s
 mountPropagation=*s:MountPropagationMode subPathExpr=s
Device name=s devicePath=s
Probe exec=*Exec httpGet=*HttpGet tcpSocket=*TcpSocket grpc=*Grpc initialDelaySeconds=i32 timeoutSeconds=i32
 periodSeconds=i32 successThreshold=i32 failureThreshold=i32 terminationGracePeriodSeconds=*i64
Exec command=[]s
HttpGet path=s port=port host=s scheme=s:URIScheme httpHeaders=[]Header
Header name=s value=s
TcpSocket port=port host=s
Grpc port=i32 service=*s
Lifecycle postStart=*Handler preStop=*Handler stopSignal=*s:Signal
Handler exec=*Exec httpGet=*HttpGet tcpSocket=*TcpSocket sleep=*Sleep
Sleep seconds=i64
Security capabilities=*Capabilities privileged=*b seLinuxOptions=any windowsOptions=any runAsUser=*i64
 runAsGroup=*i64 runAsNonRoot=*b readOnlyRootFilesystem=*b allowPrivilegeEscalation=*b procMount=*s:ProcMountType
 seccompProfile=*Profile:SeccompProfile appArmorProfile=*Profile:AppArmorProfile
Capabilities add=[]s:Capability drop=[]s:Capability
Profile type=s localhostProfile=*s
PodSecurity seLinuxOptions=any windowsOptions=any runAsUser=*i64 runAsGroup=*i64 runAsNonRoot=*b
 supplementalGroups=[]i64 supplementalGroupsPolicy=*s:SupplementalGroupsPolicy fsGroup=*i64 sysctls=any
 fsGroupChangePolicy=*s:PodFSGroupChangePolicy seccompProfile=*Profile:SeccompProfile
 appArmorProfile=*Profile:AppArmorProfile seLinuxChangePolicy=*s:PodSELinuxChangePolicy
Volume name=s hostPath=*HostPath emptyDir=*EmptyDir secret=*SecretVolume configMap=*ConfigMapVolume
 projected=*Projected persistentVolumeClaim=*Claimed csi=any ephemeral=any image=*ImageVolume downwardAPI=any
 gcePersistentDisk=any awsElasticBlockStore=any gitRepo=any nfs=any iscsi=any glusterfs=any rbd=any flexVolume=any
 cinder=any cephfs=any flocker=any fc=any azureFile=any vsphereVolume=any quobyte=any azureDisk=any
 photonPersistentDisk=any portworxVolume=any scaleIO=any storageos=any
HostPath path=s type=*s:HostPathType
EmptyDir medium=s:StorageMedium sizeLimit=*q
SecretVolume secretName=s items=[]KeyToPath defaultMode=*i32 optional=*b
ConfigMapVolume name=s items=[]KeyToPath defaultMode=*i32 optional=*b
KeyToPath key=s path=s mode=*i32
Claimed claimName=s readOnly=b
ImageVolume reference=s pullPolicy=s:PullPolicy
Projected sources=[]Projection defaultMode=*i32
Projection secret=*ItemsProjection:SecretProjection downwardAPI=*DownwardProjection
 configMap=*ItemsProjection:ConfigMapProjection serviceAccountToken=*TokenProjection clusterTrustBundle=any
 podCertificate=any
ItemsProjection name=s items=[]KeyToPath optional=*b
DownwardProjection items=[]DownwardFile
DownwardFile path=s fieldRef=*FieldRef resourceFieldRef=*ResourceFieldRef mode=*i32
TokenProjection audience=s expirationSeconds=*i64 path=s
Deployment apiVersion=s kind=s metadata=Meta spec=DeploymentSpec status=any
DeploymentSpec replicas=*i32 selector=*Selector template=PodTemplate strategy=Strategy minReadySeconds=i32
 revisionHistoryLimit=*i32 paused=b progressDeadlineSeconds=*i32
Strategy type=s rollingUpdate=*Rolling
Rolling maxUnavailable=*port maxSurge=*port
Selector matchLabels={}s matchExpressions=[]Expression
Expression key=s operator=s values=[]s
HorizontalPodAutoscaler apiVersion=s kind=s metadata=Meta spec=HpaSpec status=any
HpaSpec scaleTargetRef=TargetRef minReplicas=*i32 maxReplicas=i32 metrics=[]Metric behavior=*Behavior
HorizontalPodAutoscalerV1 apiVersion=s kind=s metadata=Meta spec=HpaSpecV1 status=any
HpaSpecV1 scaleTargetRef=TargetRef minReplicas=*i32 maxReplicas=i32 targetCPUUtilizationPercentage=*i32
ScaledObject apiVersion=s kind=s metadata=Meta spec=ScaledSpec status=any
ScaledSpec scaleTargetRef=*ScaledTarget pollingInterval=*i32 initialCooldownPeriod=*i32 cooldownPeriod=*i32
 idleReplicaCount=*i32 minReplicaCount=*i32 maxReplicaCount=*i32 advanced=*ScaledAdvanced triggers=[]ScaledTrigger
 fallback=*ScaledFallback
ScaledTarget name=s apiVersion=s kind=s envSourceContainerName=s
ScaledAdvanced horizontalPodAutoscalerConfig=*ScaledConfig restoreToOriginalReplicaCount=b scalingModifiers=any
ScaledConfig behavior=*Behavior name=s
ScaledTrigger type=s name=s useCachedMetrics=b metadata={}s authenticationRef=any metricType=s
ScaledFallback failureThreshold=i32 replicas=i32 behavior=s
TargetRef apiVersion=s kind=s name=s
Metric type=s object=*ObjectMetric pods=*NamedMetric resource=*ResourceMetric containerResource=*ResourceMetric
 external=*NamedMetric
ResourceMetric name=s container=s target=Target
NamedMetric metric=MetricName target=Target
ObjectMetric describedObject=TargetRef metric=MetricName target=Target
MetricName name=s selector=*Selector
Target type=s value=*q averageValue=*q averageUtilization=*i32
Behavior scaleUp=*Scaling scaleDown=*Scaling
Scaling stabilizationWindowSeconds=*i32 selectPolicy=*s policies=[]Policy tolerance=*q
Policy type=s value=i32 periodSeconds=i32
PriorityClass apiVersion=s kind=s metadata=Meta value=i32 globalDefault=b description=s
 preemptionPolicy=*s:PreemptionPolicy
ConfigMap apiVersion=s kind=s metadata=Meta data={}s binaryData=any immutable=*b
Secret apiVersion=s kind=s metadata=Meta data={}bytes stringData={}s type=s immutable=*b
"""


def _read(text: str) -> dict[str, dict[str, str]]:
    objects: dict[str, dict[str, str]] = {}
    for line in text.replace("\n ", " ").strip().splitlines():
        name, *words = line.split()
        fields: dict[str, str] = {}
        for word in words:
            field, equals, kind = word.partition("=")
            fields.update({field: kind} if equals else {field: "…"})
        objects[name] = fields
    for fields in objects.values():
        for included in [name for name, kind in fields.items() if kind == "…"]:
            del fields[included]
            fields.update(objects[included])
    return objects


OBJECTS = _read(_OBJECTS)
"""The fields of every object, with their types."""
GO_NAMES = {
    "s": "string",
    "b": "bool",
    "bytes": "[]uint8",
    "i32": "int32",
    "i64": "int64",
    "Meta": "v1.ObjectMeta",
    "Template": "v1.RevisionTemplateSpec",
    "Mount": "v1.VolumeMount",
    "Port": "v1.ContainerPort",
    "Env": "v1.EnvVar",
    "Resources": "v1.ResourceRequirements",
    "Security": "v1.SecurityContext",
    "PodSecurity": "v1.PodSecurityContext",
    "HttpGet": "v1.HTTPGetAction",
    "TcpSocket": "v1.TCPSocketAction",
    "Grpc": "v1.GRPCAction",
    "Expression": "v1.LabelSelectorRequirement",
    "Rolling": "v1.RollingUpdateDeployment",
    "Exec": "v1.ExecAction",
    "Header": "v1.HTTPHeader",
    "Handler": "v1.LifecycleHandler",
    "Sleep": "v1.SleepAction",
    "Owner": "v1.OwnerReference",
    "Reference": "v1.LocalObjectReference",
    "Device": "v1.VolumeDevice",
    "Claim": "v1.ResourceClaim",
    "EnvFrom": "v1.EnvFromSource",
    "EnvSource": "v1.EnvVarSource",
    "FieldRef": "v1.ObjectFieldSelector",
    "ResourceFieldRef": "v1.ResourceFieldSelector",
    "HostPath": "v1.HostPathVolumeSource",
    "EmptyDir": "v1.EmptyDirVolumeSource",
    "SecretVolume": "v1.SecretVolumeSource",
    "ConfigMapVolume": "v1.ConfigMapVolumeSource",
    "Claimed": "v1.PersistentVolumeClaimVolumeSource",
    "ImageVolume": "v1.ImageVolumeSource",
    "Projected": "v1.ProjectedVolumeSource",
    "Projection": "v1.VolumeProjection",
    "DownwardProjection": "v1.DownwardAPIProjection",
    "DownwardFile": "v1.DownwardAPIVolumeFile",
    "TokenProjection": "v1.ServiceAccountTokenProjection",
    "{}q": "v1.ResourceList",
    "Traffic": "v1.TrafficTarget",
    "HpaSpec": "v2.HorizontalPodAutoscalerSpec",
    "HpaSpecV1": "v1.HorizontalPodAutoscalerSpec",
    "q": "resource.Quantity",
}
"""What Go calls a type where its name differs from the one here."""


def go_name(kind: str) -> str:
    """A type as Go's decoder names it."""
    if kind.startswith("*"):
        return go_name(kind[1:])
    if kind in GO_NAMES:
        return GO_NAMES[kind]
    if kind.startswith("[]"):
        return f"[]{go_name(kind[2:])}"
    if kind.startswith("{}"):
        return f"map[string]{go_name(kind[2:])}"
    shape, named, name = kind.partition(":")
    return f"v1.{name}" if named else GO_NAMES.get(shape, f"v1.{shape}")
